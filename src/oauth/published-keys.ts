import { TokenResponseError, TransportError } from '../token/index.ts'
import { type Clock, type RunDetached, restAfterFailure, singleFlight, withDeadline } from '../util/index.ts'
import type { BackChannel } from './back-channel.ts'
import { requireJsonAnswer } from './json-answer.ts'

/** The keys that a server signs with, as it publishes them (RFC 7517 section 5): JWKs that nobody has looked at. */
export interface PublishedKeys {
  /**
   * Those that are known, at most ten minutes old; or older, up to a day, while the server gives no newer ones.
   *
   * @throws TokenResponseError with code `jwks_invalid`; TransportError when no answer comes.
   */
  current(): Promise<readonly Readonly<Record<string, unknown>>[]>
  /**
   * Newer ones than those, for a key that is not among them; whoever comes while they are asked for waits for them too. `undefined` where the server was asked a
   * moment ago, or gives none.
   */
  renewed(
    than: readonly Readonly<Record<string, unknown>>[],
  ): Promise<readonly Readonly<Record<string, unknown>>[] | undefined>
}

/** What {@link createPublishedKeys} needs. */
export interface PublishedKeysOptions {
  /** Whose keys they are, for messages. */
  readonly subject: string
  /** `jwks_uri`. */
  readonly location: () => Promise<URL>
  readonly channel: BackChannel
  readonly clock: Clock
  /** Whoever shares a request must not find the user of the first of them in it. */
  readonly runDetached: RunDetached
}

type Keys = readonly Readonly<Record<string, unknown>>[]

/** The longest that the server may take to name its keys. */
const DEADLINE_MS = 5000
/** From this age on they are asked for again. */
const REFRESH_AFTER_MS = 10 * 60 * 1000
/** Keys older than this are not used any more. */
const UNUSABLE_AFTER_MS = 24 * 60 * 60 * 1000
/** A key that nobody knows is a reason to ask, but not more often than this: names of keys are cheap to make up. */
const COOLDOWN_MS = 30 * 1000
/** After an error without anything to go by the server is left alone for so long. */
const PAUSE_MS = 1000
/** More keys than a server has. */
const MAX_KEYS = 100

/** Asks for keys when they are first needed. Calls that overlap share one request. */
export function createPublishedKeys(options: PublishedKeysOptions): PublishedKeys {
  const { clock, runDetached } = options
  let known: Keys | undefined
  let knownAt = 0
  let askedAt = Number.NEGATIVE_INFINITY
  let isAsking = false

  const once = singleFlight(async () => {
    askedAt = clock.now()
    isAsking = true
    try {
      known = await runDetached(() => keysFrom(options))
      knownAt = clock.now()
      return known
    } finally {
      isAsking = false
    }
  })
  const ask = restAfterFailure(once, { clock, ms: PAUSE_MS })
  function usable(): Keys | undefined {
    return known !== undefined && clock.now() - knownAt < UNUSABLE_AFTER_MS ? known : undefined
  }
  return {
    async current() {
      const now = clock.now()
      if (known !== undefined && now - knownAt < REFRESH_AFTER_MS) return known
      const old = usable()
      if (old === undefined) return ask()
      return now - askedAt < COOLDOWN_MS ? old : ask().catch(() => old)
    },
    async renewed(than) {
      if (known !== undefined && known !== than) return known
      if (!isAsking && clock.now() - askedAt < COOLDOWN_MS) return undefined
      return ask().catch(() => undefined)
    },
  }
}

async function keysFrom({ subject, location, channel, clock }: PublishedKeysOptions): Promise<Keys> {
  const error = (): Error =>
    new TransportError(`${subject}: expected the keys within ${DEADLINE_MS} ms, got no answer`, {
      code: 'timeout',
      retryable: true,
    })
  return withDeadline(
    async (signal) => {
      const { href } = await location()
      const answer = await channel(href, { method: 'GET', headers: { accept: 'application/json' }, signal })
      const { status } = answer
      if (status !== 200) throw invalid(`${subject}: expected status 200, got ${status}`, status)
      const { keys } = requireJsonAnswer(answer, subject)
      if (!Array.isArray(keys)) throw invalid(`${subject}: expected a list of keys, got none`, status)
      return keys.filter((key) => typeof key === 'object' && key !== null && !Array.isArray(key)).slice(0, MAX_KEYS)
    },
    { clock, ms: DEADLINE_MS, error },
  )
}

function invalid(message: string, status: number): TokenResponseError {
  return new TokenResponseError(message, { code: 'jwks_invalid', status, retryable: status >= 500 || status === 429 })
}
