import type { Turn, WithLock } from '../store/index.ts'
import { type AccessToken, isSameToken, type TokenSource } from '../token/index.ts'
import type { Clock } from '../util/index.ts'
import type { FlightOptions } from './flight.ts'
import type { EntryName, StoredEntries } from './stored-entries.ts'
import { DELETED } from './stored-token.ts'

/** What a {@link storedSource} needs. */
export interface StoredSourceOptions {
  readonly entries: StoredEntries
  readonly clock: Clock
  /** Changes whenever entries are deleted: what was read before, or asked for before, is then not used and not kept. */
  readonly epoch?: (() => number) | undefined
  /** Names the entry; asked when it is first needed. */
  readonly name: () => Promise<EntryName>
  /** What tokens have to be bound to, where they have to be; it may change while a token is on its way. */
  readonly boundTo?: (() => TokenBinding) | undefined
  /** Held while the other source is asked, so that of several processes one does so, and the others find what it has got. */
  readonly lock?: WithLock | undefined
  /** Told the identity of an entry that holds another token now because the one before was refused: others may have that in memory. */
  readonly onReplaced?: ((identity: string) => void) | undefined
}

/** So often the store is looked into where entries are deleted meanwhile. */
const MAX_LOOKS = 3

/** What a token is bound to. */
export type TokenBinding = Pick<AccessToken, 'jkt' | 'certificateThumbprint'>

/**
 * Looks into a shared store before it asks another source, and puts there what that gave. A token that is named as rejected
 * is passed over, so that a newer one of another process is found instead. With a lock the store is looked into once more by whoever
 * holds it, if anybody held it before: what came there meanwhile is the answer.
 */
export function storedSource(inner: TokenSource, options: StoredSourceOptions): TokenSource {
  const { lock } = options
  return {
    async getToken(ask: FlightOptions = {}) {
      const name = await options.name()
      const found = await findIn(options, name, ask)
      const { doubted } = ask
      const isSame = doubted !== undefined && isToken(found) && isSameToken(found, doubted)
      if (isToken(found) && !isSame) return found
      // Nothing to say is no reason to doubt: the store may have lost the entry, or be down. The token's end is one, if the machine slept.
      if (doubted !== undefined && found !== DELETED && options.clock.now() < doubted.expiresAt) return doubted
      const turn: OwnTurn = { isLost: false }
      if (lock === undefined) return obtain(inner, options, { ask, turn })
      const look = async (): Promise<AccessToken | undefined> => {
        const entry = await findIn(options, name, ask)
        return isToken(entry) ? entry : undefined
      }
      const task = async (given?: Turn): Promise<AccessToken> =>
        (given?.isFirst ? undefined : await look()) ?? (await obtain(inner, options, { ask, turn }))
      const onLost = (): void => {
        turn.isLost = true
      }
      return lock(name.identity, task, { signal: ask.signal, meanwhile: look, onLost })
    },
  }
}

type Entry = AccessToken | typeof DELETED | undefined

/** What another process has put there, or this one before. */
async function findIn(
  { entries, epoch = () => 0, boundTo = () => ({}) }: StoredSourceOptions,
  name: EntryName,
  { forceRenewal, rejected, signal, onDeleted, outcome }: FlightOptions,
): Promise<Entry> {
  if (forceRenewal) return undefined
  for (let looks = 1; looks <= MAX_LOOKS; looks++) {
    const startedIn = epoch()
    const entry = await entries.read(name, signal)
    // What was read before may be what was deleted, or what took its place: another look tells.
    if (startedIn !== epoch()) continue
    // What another process has deleted is not to be served here either, whatever comes of this.
    if (entry === DELETED) onDeleted?.()
    if (!isToken(entry)) return entry
    if (!isBoundAlike(entry, boundTo()) || (rejected !== undefined && isSameToken(entry, rejected))) return undefined
    if (outcome !== undefined) outcome.cache = 'l2'
    return entry
  }
  return undefined
}

function isToken(entry: Entry): entry is AccessToken {
  return entry !== undefined && entry !== DELETED
}

/** One turn at the lock, or none where there is no lock. */
interface OwnTurn {
  /** Whether others may have had a turn since. */
  isLost: boolean
}

/** After so long a request others may have gone on: this process may have stood still, or been cut off. */
const SLOW_MS = 1000

async function obtain(
  inner: TokenSource,
  options: StoredSourceOptions,
  { ask, turn }: { readonly ask: FlightOptions; readonly turn: OwnTurn },
): Promise<AccessToken> {
  const { entries, clock, name, epoch = () => 0, boundTo = () => ({}), onReplaced } = options
  const askedIn = epoch()
  const askedAt = clock.now()
  const token = await inner.getToken(ask)
  const isKept = token.expiresAt > clock.now() && askedIn === epoch() && isBoundAlike(token, boundTo())
  if (!isKept) return token
  // Named anew: the certificate that is part of the name may be another one by now.
  const entry = await name()
  // A late write must not take the place of a newer token.
  const newer = clock.now() - askedAt > SLOW_MS ? await findIn(options, entry, ask) : undefined
  if (isToken(newer)) return newer
  if (turn.isLost) return token
  await entries.write(entry, token)
  if (ask.isRefused) onReplaced?.(entry.identity)
  return token
}

function isBoundAlike(a: TokenBinding, b: TokenBinding): boolean {
  return a.jkt === b.jkt && a.certificateThumbprint === b.certificateThumbprint
}
