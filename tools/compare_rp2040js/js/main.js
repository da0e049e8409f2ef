/*
 * One run of a guest on rp2040js: `node main.js FLASH BOOTROM SIDE LIMIT_S`.
 *
 * Owns: rp2040js's half of what chip.py does for our chip, with the same marks and the same output. Must not: do
 * anything that the other half does not; both look at the same two pads and record the same.
 *
 * SIDE is "shipped" for the package as it is, "host" for it with a console host that leaves reads open, "shims" for it
 * with all of shims.js. The guest raises pad MARK when it begins and lowers it when it is done. Then a line of JSON is
 * printed. Ends with exit code 1 and a reason when the guest is not done after LIMIT_S simulated seconds.
 */

import { readFileSync, writeSync } from 'node:fs';
import { ConsoleLogger, GPIOPinState, LogLevel, Simulator, USBCDC } from 'rp2040js';
import { PioPacer, run, waitingHost } from './shims.js';

const startedMs = performance.now();
const [flashFile, bootromFile, side, limitS] = process.argv.slice(2);
const FLASH_START = 0x10000000;
const STEP = 2;
const MARK = 14; // not 15: TinyUSB takes that pad for a while (erratum E5)
const TAIL = 300; // characters of the guest's output that a failure shows

const simulator = new Simulator();
const { clock, rp2040: mcu } = simulator;
mcu.logger = new ConsoleLogger(LogLevel.Error);
const bootrom = readFileSync(bootromFile);
mcu.loadBootrom(new Uint32Array(bootrom.buffer, bootrom.byteOffset, bootrom.length / 4));
mcu.flash.set(readFileSync(flashFile)); // after the boot ROM: loading that resets the chip, which wipes its flash
const cdc = new USBCDC(mcu.usbCtrl);
let output = '';
cdc.onSerialData = (data) => {
  output += Buffer.from(data).toString();
};

let bootS = 0;
let beganAt = 0;
let began = 0;
let beganMs = 0;
let pulses = 0;
let rise = null;
let shortest = Infinity;
let longest = 0;

function finish(code, line) {
  writeSync(code === 0 ? 1 : 2, `${line}\n`);
  process.exitCode = code;
  simulator.stop();
  mcu.pio.forEach((pio) => pio.stop()); // else its host timer keeps the process alive
}

mcu.gpio[MARK].addListener((value, last) => {
  if (value === GPIOPinState.High) {
    bootS = (performance.now() - startedMs) / 1000;
    beganAt = (performance.timeOrigin + performance.now()) / 1000;
    began = clock.nanos;
    beganMs = performance.now();
  } else if (value === GPIOPinState.Low && last === GPIOPinState.High) {
    const result = {
      began_at: beganAt,
      boot_s: bootS,
      wall_s: (performance.now() - beganMs) / 1000,
      simulated_ns: clock.nanos - began,
      pulses,
      shortest_ns: pulses > 1 ? shortest : 0,
      longest_ns: longest,
      late: 0,
    };
    finish(0, JSON.stringify(result));
  }
});

mcu.gpio[STEP].addListener((value) => {
  if (value !== GPIOPinState.High) return;
  const now = clock.nanos;
  pulses++;
  if (rise !== null) {
    shortest = Math.min(shortest, now - rise);
    longest = Math.max(longest, now - rise);
  }
  rise = now;
});

clock
  .createAlarm(() => {
    finish(1, `not done after ${limitS} simulated s; the guest wrote: ${JSON.stringify(output.slice(-TAIL))}`);
  })
  .schedule(limitS * 1e9);

mcu.core.PC = FLASH_START;
if (side !== 'shipped') waitingHost(mcu, cdc);
if (side === 'shims') {
  mcu.pio.forEach((pio) => new PioPacer(mcu, pio));
  run(simulator);
} else {
  simulator.execute();
}
