import type { Turn } from '../../store/index.ts'
import { type Clock, delay, secureRandom, waitFor } from '../../util/index.ts'
import type { Acquired, LockCommands } from './lock-commands.ts'

/**
 * A pause between two looks at a lock that is taken is half of this at least, which keeps to 20 commands a second: one a look, or three in two
 * where a look asks for the result, too.
 */
const SHORTEST_PAUSE_MS = { ofLock: 100, ofBoth: 150 }
const LONGEST_PAUSE_MS = 400
/** Whoever has waited for long looks less often: in a pause passes a quarter of the time waited so far. */
const PAUSE_RATE = 0.25

/** An answer that comes too late, or never, may have taken the lock for nobody. */
export function giveUp(asked: Promise<Acquired>, commands: LockCommands): void {
  asked
    .catch((): Acquired => 'next')
    .then((taken) => (taken === undefined ? undefined : commands.release()))
    .catch(() => {})
}

/** Looks until the lock is ours, or somebody else has brought the result. */
export async function acquire<T>(commands: LockCommands, waiting: Waiting<T>): Promise<Taken | Found<T>> {
  const { clock, signal, meanwhile } = waiting
  const beganAt = clock.now()
  const shortestMs = meanwhile === undefined ? SHORTEST_PAUSE_MS.ofLock : SHORTEST_PAUSE_MS.ofBoth
  for (let looks = 0; ; looks++) {
    signal.throwIfAborted()
    const sentAt = clock.now()
    const found = looks === 0 ? undefined : await meanwhile?.()
    if (found !== undefined) return { found }
    // Of two looks one is enough for a lock whose holder has most likely brought the result when it is free.
    const taken = meanwhile === undefined || looks % 2 === 0 ? await take(commands, signal) : undefined
    if (taken !== undefined) return { takenAt: sentAt, isFirst: taken === 'first' && looks === 0 }
    const pauseMs = Math.min(Math.max((sentAt - beganAt) * PAUSE_RATE, shortestMs), LONGEST_PAUSE_MS)
    await delay(clock, pauseMs * (0.5 + secureRandom() / 2), signal)
  }
}

async function take(commands: LockCommands, signal: AbortSignal): Promise<Acquired> {
  const asked = commands.acquire()
  try {
    return await waitFor(asked, signal)
  } catch (error) {
    if (signal.aborted) giveUp(asked, commands)
    throw error
  }
}

/** How one caller waits. */
export interface Waiting<T> {
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly meanwhile: (() => Promise<T | undefined>) | undefined
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
