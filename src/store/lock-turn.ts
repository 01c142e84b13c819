import { type Clock, delay, secureRandom, waitFor } from '../util/index.ts'
import type { Acquired } from './lock-commands.ts'
import type { TimelyCommands } from './lock-health.ts'
import type { Turn } from './with-lock.ts'

/** A pause is half of this at least for every command that was sent since the pause before, which keeps to 20 commands a second. */
const PAUSE_PER_COMMAND_MS = 100
const LONGEST_PAUSE_MS = 400
/** Whoever has waited for long looks less often: in a pause passes a quarter of the time waited so far. */
const PAUSE_RATE = 0.25

/** Asks for the result, for as long as the caller waits: what does not answer must not keep the others of this process waiting. */
export async function ask<T>(meanwhile: Waiting<T>['meanwhile'], signal: AbortSignal): Promise<T | undefined> {
  return meanwhile && waitFor(meanwhile(), signal)
}

/** Looks until the lock is ours, or somebody else has brought the result. */
export async function acquire<T>(commands: TimelyCommands, waiting: Waiting<T>): Promise<Taken | Found<T>> {
  const { clock, signal, meanwhile, commandsPerLook } = waiting
  const beganAt = clock.now()
  // With every look somebody who asks for the result, too, sends one command for that, and looks at the lock with every second one.
  const commandsPerPause = meanwhile === undefined ? commandsPerLook : 1 + commandsPerLook / 2
  const shortestMs = PAUSE_PER_COMMAND_MS * commandsPerPause
  for (let looks = 0; ; looks++) {
    const sentAt = clock.now()
    const found = looks === 0 ? undefined : await ask(meanwhile, signal)
    if (found !== undefined) return { found }
    signal.throwIfAborted()
    const taken = meanwhile === undefined || looksAtLock(looks) ? await take(commands, signal) : undefined
    if (taken !== undefined) return { takenAt: sentAt, isFirst: taken === 'first' && looks === 0 }
    const pauseMs = Math.min(Math.max((sentAt - beganAt) * PAUSE_RATE, shortestMs), LONGEST_PAUSE_MS)
    await delay(clock, pauseMs * (0.5 + secureRandom() / 2), signal)
  }
}

/**
 * Whether somebody who asks for the result, too, looks at the lock: at once, and then when two askings were in vain. Its holder has most likely brought the
 * result when it is free.
 */
function looksAtLock(looks: number): boolean {
  return looks === 0 || (looks > 2 && looks % 2 === 1)
}

async function take(commands: TimelyCommands, signal: AbortSignal): Promise<Acquired> {
  const asked = commands.acquire(signal)
  try {
    return await waitFor(asked, signal)
  } catch (error) {
    // Taken for nobody. What fails has been given up already.
    if (signal.aborted) asked.then((taken) => taken && commands.release()).catch(() => {})
    throw error
  }
}

/** How one caller waits. */
export interface Waiting<T> {
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly meanwhile: (() => Promise<T | undefined>) | undefined
  /** How many commands it takes to find that a lock is held. */
  readonly commandsPerLook: number
}

/** A lock that is ours. */
export interface Taken extends Turn {
  /** When the command was sent that took it, or before. */
  readonly takenAt: number
}

/** What made the lock needless. */
export interface Found<T> {
  readonly found: T
}
