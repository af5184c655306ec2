"""The controller's processes: field (Modbus and scan) and gateway (everything else)."""
