"""The code that talks to devices, brokers and grid operators; it decides nothing."""
