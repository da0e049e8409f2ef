/*
 * What our emulated chip adds to rp2040py, done for rp2040js as well, so that the two can be compared fairly.
 *
 * Owns: three shims, each through the package's public classes, a replaced method or a wrapped one; nothing in the
 * package is edited. Must not: make anything slower than it has to be, or do for the comparison what a user of rp2040js
 * could not do.
 *
 * waitingHost  The package's console host answers every read of the guest at once with an empty packet. The guest then
 *              asks again, 32,000 times per simulated second, never sleeps, and runs 2.6 times slower in simulated time.
 *              A real host leaves the read open until it has something.
 * run          `Simulator.execute()` goes through a timer of the host, 1 ms or more, whenever the CPU has slept for a few
 *              simulated milliseconds, so that idle guests cost wall time. This is the same loop without the timer.
 * PioPacer     The package steps PIO from a timer of the host, 1000 instructions a time, whatever the simulated time, and
 *              looks neither at a machine's clock divider nor at its delays nor at whether it is enabled. This is the
 *              port of emulator/haipump_emulator/chip/pacer.py: every instruction at its simulated time, and a countdown
 *              in one instruction (`jmp(x_dec, self)`) costs one alarm, not one per count.
 *
 * Not covered, since no guest of the comparison needs it: machines that push, or wait for pins or PIO interrupts, DMA, a
 * change of the system clock while a machine runs, joined FIFOs, a host that sends.
 */

const CTRL = 0x000;
const MACHINE_FIRST = 0x0c8;
const MACHINE_LAST = 0x124;
const COUNTDOWNS = { 2: 'x', 4: 'y' };
const NEVER = Infinity;
const CYCLE_NANOS = 1e9 / 125e6; // as in Simulator.execute(): the package's CPU has one speed

/** Leave the guest's reads from the console open. The guests here are never sent anything, so they stay open. */
export function waitingHost(mcu, cdc) {
  const usb = mcu.usbCtrl;
  const answer = usb.onEndpointRead;
  usb.onEndpointRead = (endpoint, size) => {
    if (endpoint !== cdc.outEndpoint || !cdc.txFIFO.empty) answer(endpoint, size);
  };
}

/** Run until `simulator.stop()`. Some alarm must always be pending, so that a sleeping CPU has where to go. */
export function run(simulator) {
  const { clock, rp2040 } = simulator;
  const { core } = rp2040;
  simulator.stopped = false;
  while (!simulator.stopped) {
    if (core.waiting) {
      clock.tick(clock.nanosToNextAlarm);
    } else {
      clock.tick(core.executeInstruction() * CYCLE_NANOS);
    }
  }
}

/** One PIO block in simulated time; made before the chip runs. */
export class PioPacer {
  constructor(mcu, pio) {
    this.mcu = mcu;
    this.pio = pio;
    this.clock = mcu.clock;
    this.alarm = this.clock.createAlarm(() => this.fire());
    this.due = pio.machines.map(() => NEVER); // simulated ns of each machine's next instruction
    this.skipped = pio.machines.map(() => null); // a countdown that is under way: its register, and the ns of one count
    pio.run = () => {}; // the host's timer steps it no more
    const write = pio.writeUint32;
    pio.writeUint32 = (offset, value) => {
      // These may look at or change what a countdown counts.
      if (offset === CTRL || (offset >= MACHINE_FIRST && offset <= MACHINE_LAST)) this.settle();
      write.call(pio, offset, value);
      this.arm();
    };
  }

  /** The length of a machine's cycle; a divider of 0 stands for 65536. */
  cycleNanos(machine) {
    return ((machine.clockDivInt || 65536) + machine.clockDivFrac / 256) * (1e9 / this.mcu.clkSys);
  }

  /** Give the registers that are counted down the values that they have now. */
  settle() {
    const now = this.clock.nanos;
    this.skipped.forEach((countdown, i) => {
      if (countdown) {
        const left = Math.max(0, Math.ceil((this.due[i] - now) / countdown.nanos));
        this.pio.machines[i][countdown.register] = left;
        this.due[i] -= left * countdown.nanos;
        this.skipped[i] = null;
      }
    });
  }

  /** Take all of a countdown but its last round at once. */
  skip(machine, i) {
    const word = this.pio.instructions[machine.pc];
    if (word >>> 13 !== 0 || (word & 31) !== machine.pc) return;
    const register = COUNTDOWNS[(word >> 5) & 7];
    if (register === undefined || machine[register] <= 1) return;
    const delay = (word >> 8) & 31 & ((1 << (5 - machine.sidesetCount)) - 1);
    const nanos = (1 + delay) * this.cycleNanos(machine);
    this.due[i] += machine[register] * nanos;
    machine[register] = 0;
    this.skipped[i] = { register, nanos };
  }

  /** Put the alarm on the block's next due instant. */
  arm() {
    const { clock, due, pio, skipped } = this;
    let next = NEVER;
    for (let i = 0; i < 4; i++) {
      const machine = pio.machines[i];
      if (!machine.enabled || machine.waiting) {
        due[i] = NEVER;
        continue;
      }
      // Just enabled, or a word has come that it waited for: it goes on with the next cycle.
      if (due[i] === NEVER) due[i] = clock.nanos + this.cycleNanos(machine);
      if (!skipped[i]) this.skip(machine, i);
      if (due[i] < next) next = due[i];
    }
    if (next === NEVER) {
      this.alarm.cancel();
    } else {
      this.alarm.schedule(Math.max(0, next - clock.nanos));
    }
  }

  fire() {
    const { clock, due, pio, skipped } = this;
    const now = clock.nanos;
    for (let i = 0; i < 4; i++) {
      if (due[i] <= now) {
        const machine = pio.machines[i];
        skipped[i] = null;
        const before = machine.cycles;
        machine.step();
        due[i] += (machine.cycles - before) * this.cycleNanos(machine);
      }
    }
    pio.checkChangedPins(); // the listeners of the pins run in here, at the exact time
    this.arm();
  }
}
