import type { PreparedKey } from './signer-from.ts'

/** A server that did not know a key is not asked again with it for so long, while it takes another one. */
const REFUSAL_MS = 60_000

/** One key of a ring and what became of it. */
export class RingEntry {
  readonly prepared: PreparedKey
  /** When it has been published for long enough to sign, in milliseconds since the epoch. */
  readonly usableAt: number
  #obtainedUntil = 0
  readonly #refusedUntil = new Map<string, number>()

  constructor(prepared: PreparedKey, usableAt: number) {
    this.prepared = prepared
    this.usableAt = usableAt
  }

  /** When the last token that it obtained expires. */
  get obtainedUntil(): number {
    return this.#obtainedUntil
  }

  /** Until when it is the last one to try at a server that did not know it. */
  refusedUntil(server: string): number {
    return this.#refusedUntil.get(server) ?? 0
  }

  refused(server: string, now: number): void {
    this.#refusedUntil.set(server, now + REFUSAL_MS)
  }

  accepted(server: string, expiresAt: number | undefined): void {
    this.#refusedUntil.delete(server)
    // A token without an end would keep the key for ever.
    if (expiresAt !== undefined && Number.isFinite(expiresAt))
      this.#obtainedUntil = Math.max(this.#obtainedUntil, expiresAt)
  }
}
