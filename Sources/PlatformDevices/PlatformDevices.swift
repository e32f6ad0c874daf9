// PlatformDevices
