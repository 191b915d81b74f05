"""The same inputs again, in one process: no broker's timing, no clock, so the same events to the byte."""
