"""What the stages of recipes (`xrete.tasks.recipes`) train on where that is not the scored task's own data.

They are tasks, but nobody scores them: they have no entry in `xrete.tasks.TASKS`, and training splits only.
"""
