// PCI
