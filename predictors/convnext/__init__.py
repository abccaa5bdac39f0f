"""ConvNeXt towers."""
