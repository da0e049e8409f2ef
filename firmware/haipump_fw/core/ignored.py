"""The third part of the state table: what nothing happens for, and why. Desktop only.

The device takes for ignored what the other two parts (`core.states`) do not name; a test holds that it is just this.
"""

from haipump_fw.core.states import HANDLING, others

# (event, states, why): nothing happens, no error
IGNORED = (
    ("passed", others("self_test"), "no self test is running"),
    ("failed", others("self_test"), "no self test is running"),
    ("bolus_over", others("bolus"), "its order ended with the state before"),
    ("infusion_over", others("infusing", "bolus"), "its order ended with the state before"),
    ("motion_over", others(*HANDLING), "its order ended with the state before"),
    ("stop", ("self_test", "stopped", "refill", "alarm", "fault", "service"), "nothing moves"),
    ("alarm_stop", ("self_test", "stopped", "refill", "alarm", "fault", "service"), "nothing moves"),
    ("relieve", others("alarm"), "no occlusion stopped the pump"),
    ("relieved", others("relieving"), "its order ended with the state before"),
    ("resume_rate", others("alarm"), "somebody has seen to it"),
    ("alarm_clear", others("alarm"), "no alarm stopped the pump"),
    ("fail", ("fault", "service"), "already safe"),
    ("pause", ("paused",), "already paused"),
    ("begin_refill", ("refill",), "already refilling"),
)
