"""The edge: a webhook delivery becomes stored events. Knows nothing of flows or control."""
