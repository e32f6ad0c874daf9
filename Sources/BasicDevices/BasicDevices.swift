// BasicDevices
