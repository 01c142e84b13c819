import type { TokenStore, WithLock } from '../store/index.ts'
import { type AccessToken, type GetTokenOptions, isSameToken, type TokenSource } from '../token/index.ts'
import type { Clock } from '../util/index.ts'
import type { FlightOptions } from './flight.ts'
import { parseStoredToken, storedText } from './stored-token.ts'

/** What a {@link storedSource} needs. */
export interface StoredSourceOptions {
  readonly store: TokenStore
  readonly clock: Clock
  /** Changes whenever entries are deleted: what was read before, or asked for before, is then not used and not kept. */
  readonly epoch?: (() => number) | undefined
  /** Names the entry; asked when it is first needed. */
  readonly key: () => Promise<string>
  /** What tokens have to be bound to, where they have to be; it may change while a token is on its way. */
  readonly boundTo?: (() => TokenBinding) | undefined
  /** Held while the other source is asked, so that of several processes one does so, and the others find what it has got. */
  readonly lock?: WithLock | undefined
  /** Told the name of an entry that holds another token now because the one before was refused: others may have that in memory. */
  readonly onReplaced?: ((name: string) => void) | undefined
}

/** So often the store is looked into where entries are deleted meanwhile. */
const MAX_LOOKS = 3

/** What a token is bound to. */
export type TokenBinding = Pick<AccessToken, 'jkt' | 'certificateThumbprint'>

/**
 * Looks into a shared store before it asks another source, and puts there what that gave. A token that is named as rejected
 * is passed over, so that a newer one of another process is found instead. With a lock the store is looked into once more by whoever
 * holds it: what came there meanwhile is the answer.
 */
export function storedSource(inner: TokenSource, options: StoredSourceOptions): TokenSource {
  const { lock } = options
  return {
    async getToken(ask: FlightOptions = {}) {
      const name = await options.key()
      const found = await findIn(options, name, ask)
      if (found !== undefined) return found
      if (lock === undefined) return obtain(inner, options, ask)
      const look = async (): Promise<AccessToken> =>
        (await findIn(options, name, ask)) ?? (await obtain(inner, options, ask))
      return lock(name, look, { signal: ask.signal })
    },
  }
}

/** What another process has put there, or this one before. */
async function findIn(
  { store, clock, epoch = () => 0, boundTo = () => ({}) }: StoredSourceOptions,
  name: string,
  { forceRenewal, rejected, signal }: GetTokenOptions,
): Promise<AccessToken | undefined> {
  if (forceRenewal) return undefined
  for (let looks = 1; looks <= MAX_LOOKS; looks++) {
    const startedIn = epoch()
    const stored = parseStoredToken(await store.get(name, { signal }), clock.now())
    // What was read before may be what was deleted, or what took its place: another look tells.
    if (startedIn !== epoch()) continue
    const isUsable = stored !== undefined && isBoundAlike(stored, boundTo())
    return isUsable && !isRejected(stored, rejected) ? stored : undefined
  }
  return undefined
}

async function obtain(
  inner: TokenSource,
  { store, clock, key, epoch = () => 0, boundTo = () => ({}), onReplaced }: StoredSourceOptions,
  ask: FlightOptions,
): Promise<AccessToken> {
  const askedIn = epoch()
  const token = await inner.getToken(ask)
  const isKept = token.expiresAt > clock.now() && askedIn === epoch() && isBoundAlike(token, boundTo())
  // Named anew: the certificate that is part of the name may be another one by now.
  if (isKept) {
    const name = await key()
    await store.set(name, storedText(token, clock.now()), token.expiresAt)
    if (ask.isRefused) onReplaced?.(name)
  }
  return token
}

function isBoundAlike(a: TokenBinding, b: TokenBinding): boolean {
  return a.jkt === b.jkt && a.certificateThumbprint === b.certificateThumbprint
}

function isRejected(token: AccessToken, rejected: AccessToken | undefined): boolean {
  return rejected !== undefined && isSameToken(token, rejected)
}
