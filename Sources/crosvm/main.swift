print("crosvm")
