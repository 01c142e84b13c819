import type { PrivateKey } from '../keys/index.ts'
import { ConfigurationError, isEvertokenError } from '../token/index.ts'
import { type Awaitable, type Clock, systemClock } from '../util/index.ts'
import { type DPoPKey, type LoadDPoPKey, prepareDPoPKey } from './dpop-key.ts'

/** Keys for proofs that follow each other: new tokens are bound to the last one. */
export interface DPoPKeyRing {
  /**
   * Binds new tokens to another key from now on. Tokens of the key before are used with it until they expire, and it goes with the last of them.
   *
   * @throws ConfigurationError with code `key_invalid`.
   */
  rotate(key: PrivateKey): void
  /** Thumbprint of the key that new tokens are bound to, for `dpop_jkt` (RFC 9449 section 10). */
  thumbprint(): Promise<string>
}

/** What proofs need of a ring. */
export interface ProofKeys {
  /** The key that new tokens are bound to. */
  current(): Promise<DPoPKey>
  /** The key that a token is bound to, as long as there are tokens of it. */
  keyOf(jkt: string): DPoPKey | undefined
  /** Thumbprints of all keys that there may be tokens of. */
  thumbprints(): readonly string[]
  /** Takes note of a token that is bound to a key. */
  obtained(key: DPoPKey, expiresAt: number): void
}

/** What a {@link dpopKeyRing} may be told. */
export interface DPoPKeyRingOptions {
  /** Where time comes from. Default: the system's clock. */
  readonly clock?: Clock | undefined
}

/** A key that was replaced is kept for so long at the least: requests may be on their way with it. */
const KEEP_MS = 60_000

const inner = new WeakMap<DPoPKeyRing, ProofKeys>()

/**
 * Makes a ring of keys for proofs, which starts with one key, or with a function that is asked for it whenever a token is obtained.
 *
 * @throws ConfigurationError with code `key_invalid` for a key that cannot sign proofs.
 */
export function dpopKeyRing(
  key: PrivateKey | (() => Awaitable<PrivateKey>),
  { clock = systemClock }: DPoPKeyRingOptions = {},
): DPoPKeyRing {
  let next = sourceOf(key)
  /** Keys that nobody has asked for here yet. Those that are replaced before that are kept too: another process may have used them. */
  let unused: LoadDPoPKey[] = [next]
  const kept = new Map<string, { readonly key: DPoPKey; until: number }>()

  /** One object for one key: what is known of it hangs on the object. */
  function keep(made: DPoPKey, until: number): DPoPKey {
    const known = kept.get(made.jkt)
    if (known !== undefined) known.until = Math.max(known.until, until)
    else kept.set(made.jkt, { key: made, until })
    return known?.key ?? made
  }

  async function current(): Promise<DPoPKey> {
    const wanted = next
    const earlier = unused.filter((load) => load !== wanted)
    unused = []
    // One that cannot be had any more is not missed before there is a token of it.
    const replaced = await Promise.allSettled(earlier.map((load) => load()))
    for (const before of replaced) if (before.status === 'fulfilled') keep(before.value, clock.now() + KEEP_MS)
    const taken = await wanted()
    for (const [jkt, entry] of kept) if (entry.until <= clock.now() && jkt !== taken.jkt) kept.delete(jkt)
    return keep(taken, clock.now() + KEEP_MS)
  }

  const ring: DPoPKeyRing = {
    rotate(another) {
      next = sourceOf(another)
      unused = [...unused, next]
    },
    thumbprint: async () => (await current()).jkt,
  }
  inner.set(ring, {
    current,
    keyOf: (jkt) => kept.get(jkt)?.key,
    thumbprints: () => [...kept.keys()],
    // Also of a key that was let go of while its token was on its way.
    obtained: (made, expiresAt) => void (Number.isNaN(expiresAt) || keep(made, expiresAt)),
  })
  return ring
}

/** The keys of a ring. */
export function proofKeysOf(ring: DPoPKeyRing): ProofKeys {
  const keys = inner.get(ring)
  if (keys !== undefined) return keys
  throw new ConfigurationError('expected a ring that dpopKeyRing made, got another object', { code: 'key_invalid' })
}

/** Whether a value is a ring of keys for proofs. */
export function isDPoPKeyRing(value: unknown): value is DPoPKeyRing {
  return inner.has(value as DPoPKeyRing)
}

function sourceOf(key: PrivateKey | (() => Awaitable<PrivateKey>)): LoadDPoPKey {
  if (typeof key !== 'function') return prepareDPoPKey(key)
  let last: { readonly key: PrivateKey; readonly load: LoadDPoPKey } | undefined
  return async () => {
    const taken = await keyFrom(key)
    // The same object is the same key; it is made ready once.
    if (last === undefined || last.key !== taken) last = { key: taken, load: prepareDPoPKey(taken) }
    return last.load()
  }
}

async function keyFrom(get: () => Awaitable<PrivateKey>): Promise<PrivateKey> {
  try {
    return await get()
  } catch (cause) {
    if (isEvertokenError(cause)) throw cause
    throw new ConfigurationError('expected a key for proofs, got an error', {
      code: 'dpop_key_failed',
      cause,
    })
  }
}
