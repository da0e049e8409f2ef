"""The same inputs at the same simulated times on two cores: do the same things come out?"""
