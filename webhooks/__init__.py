"""The edge: turn webhook deliveries into stored events. Independent of flows and control."""
