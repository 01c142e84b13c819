import type { AccessToken, TokenSource } from '../token/index.ts'
import { type Clock, systemClock } from '../util/index.ts'
import { RENEWAL_WINDOWS, type RenewalWindows } from './renewal-windows.ts'
import type { SlotOptions } from './slot-ask.ts'
import { createSlotEnvironment } from './slot-environment.ts'
import { TokenSlot } from './token-slot.ts'

/** How a {@link cachedSource} renews. */
export interface CachedSourceOptions extends Partial<RenewalWindows> {
  readonly clock?: Clock | undefined
}

/** A source whose token rests in a slot. */
export class SlotSource implements TokenSource {
  readonly #slot: TokenSlot
  readonly #inner: TokenSource

  constructor(slot: TokenSlot, inner: TokenSource) {
    this.#slot = slot
    this.#inner = inner
  }

  getToken(options?: SlotOptions): Promise<AccessToken> {
    if (options !== undefined) return this.#slot.get(this.#inner, options)
    return this.#slot.fresh() ?? this.#slot.get(this.#inner)
  }
}

/**
 * Keeps the token of another source while it lives: overlapping calls share one request, the token is renewed behind its
 * callers before it expires, failures are answered from the current token while that lasts, and tried again with pauses.
 */
export function cachedSource(inner: TokenSource, options: CachedSourceOptions = {}): TokenSource {
  const { clock = systemClock, renewBeforeMs, waitBeforeMs } = options
  const windows = {
    renewBeforeMs: renewBeforeMs ?? RENEWAL_WINDOWS.renewBeforeMs,
    waitBeforeMs: waitBeforeMs ?? RENEWAL_WINDOWS.waitBeforeMs,
  }
  return new SlotSource(new TokenSlot(createSlotEnvironment({ clock, windows })), inner)
}
