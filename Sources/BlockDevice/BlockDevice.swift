// BlockDevice
