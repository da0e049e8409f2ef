"""Whether the tests are awake: the same tests on firmware that was broken on purpose."""
