"""Virtual Modbus devices and the fault proxy."""
