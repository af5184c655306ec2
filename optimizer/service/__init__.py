"""The optimizer's rolling horizon and its publishing."""
