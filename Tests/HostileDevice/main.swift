HostileDeviceCommand.main()
