import { ConfigurationError } from '../token/index.ts'
import {
  type Clock,
  createDetachedRunner,
  type Random,
  type RunDetached,
  secureRandom,
  systemClock,
} from '../util/index.ts'
import type { Flight } from './flight.ts'
import { RENEWAL_WINDOWS, type RenewalWindows } from './renewal-windows.ts'

/** What all slots of one owner share. */
export interface SlotEnvironment {
  readonly clock: Clock
  readonly random: Random
  readonly runDetached: RunDetached
  readonly windows: RenewalWindows
  /** How long a token is used before the source is asked whether it still counts; `undefined` where there is nobody to ask. */
  readonly memoryMs: number | undefined
  /** Requests that are under way, so that their owner can end them. */
  readonly flights: Set<Flight>
  /** Told of a renewal that failed behind the callers. */
  readonly onRenewalFailed: (error: unknown) => void
  isClosed: boolean
}

/** Makes what the slots of one owner share. */
export function createSlotEnvironment({
  clock = systemClock,
  random = secureRandom,
  runDetached = createDetachedRunner(),
  windows = RENEWAL_WINDOWS,
  memoryMs,
  onRenewalFailed = () => {},
}: Partial<Omit<SlotEnvironment, 'flights' | 'isClosed'>> = {}): SlotEnvironment {
  return { clock, random, runDetached, windows, memoryMs, onRenewalFailed, flights: new Set(), isClosed: false }
}

/** What callers get who come after `close()`. */
export function closedError(): ConfigurationError {
  return new ConfigurationError('expected a token manager that is open, got one that is closed', { code: 'closed' })
}
