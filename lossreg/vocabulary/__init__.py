"""The closed lists of the language, as data: paths, transforms, schedules."""
