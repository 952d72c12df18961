"""From a journal to numbers and pictures: tables, metrics, charts, the page, and the log as people read it.

Everything here is computed from events that happened; nothing decides, and nothing shows a default as data.
"""
