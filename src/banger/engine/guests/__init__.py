"""What users do in guests: programs, consoles, listeners, repositories.

Takes no lifecycle lock while the guest works: the length is the user's (hazard C1).
"""
