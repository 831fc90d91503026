"""The chip mychip for neurohal. The chip is made up: four small cores, integers, a clock. Put yours in its place."""
