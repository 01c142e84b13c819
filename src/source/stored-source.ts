import type { Turn, WithLock } from '../store/index.ts'
import { type AccessToken, isSameToken, type TokenSource } from '../token/index.ts'
import type { Clock } from '../util/index.ts'
import type { FlightOptions, HeldToken } from './flight.ts'
import type { EntryName, Finding, StoredEntries } from './stored-entries.ts'

/** What a {@link storedSource} needs. */
export interface StoredSourceOptions {
  readonly entries: StoredEntries
  readonly clock: Clock
  /** What this process knows of deletions. */
  readonly history?: (() => EntryHistory) | undefined
  /** Names the entry; asked when it is first needed. */
  readonly name: () => Promise<EntryName>
  /** What tokens have to be bound to, where they have to be; it may change while a token is on its way. */
  readonly boundTo?: (() => TokenBinding) | undefined
  /** Held while the other source is asked, so that of several processes one does so, and the others find what it has got. */
  readonly lock?: WithLock | undefined
  /** Told the identity of an entry that holds another token now because the one before was refused: others may have that in memory. */
  readonly onReplaced?: ((identity: string) => void) | undefined
}

/** What a token is bound to. */
export type TokenBinding = Pick<AccessToken, 'jkt' | 'certificateThumbprint'>

/** What one process knows of the deletions of one entry. */
export interface EntryHistory {
  /** Changes with every deletion, and with news of one: what was read before may not be so any more. */
  readonly changes: number
  /** When this process deleted it, 0 if never: nothing that is as old counts, wherever it comes from. */
  readonly deletedAt: number
}

/** For so long, at the least, a mark tells of a deletion. */
export const MARK_MS: number = 60 * 60 * 1000
/** So often the store is looked into where entries are deleted meanwhile. */
const MAX_LOOKS = 3
/** After so long a request others may have gone on: this process may have stood still, or been cut off. */
const SLOW_MS = 1000
/** Clocks of processes differ by no more: a mark counts for what was obtained shortly after it, too. */
const SKEW_MS = 5000
const NO_HISTORY: EntryHistory = { changes: 0, deletedAt: 0 }
const NOTHING: Finding = { kind: 'nothing' }

/**
 * Looks into a shared store before it asks another source, and puts there what that gave. A token that is named as rejected
 * is passed over, and so is one that is older than what is held. With a lock the store is looked into once more by whoever
 * holds it, if anybody held it before: what came there meanwhile is the answer.
 */
export function storedSource(inner: TokenSource, options: StoredSourceOptions): TokenSource {
  const { lock, history = () => NO_HISTORY } = options
  return {
    async getToken(ask: FlightOptions = {}) {
      const { changes } = history()
      const name = await options.name()
      const found = await lookUp(options, name, ask)
      const isUnchanged = changes === history().changes
      const kept = ask.isCheck && isUnchanged ? await keptToken(options, name, { found, held: ask.held }) : undefined
      if (kept !== undefined) return kept
      if (found.kind === 'token') return found.token
      if (ask.pausedBy !== undefined) throw ask.pausedBy
      const turn: OwnTurn = { isLost: false }
      // Without the store there is nothing that others could find: nobody is to queue for that.
      if (lock === undefined || found.kind === 'unknown') return obtain(inner, options, { ask, turn })
      const look = async (): Promise<AccessToken | undefined> => {
        const late = await lookUp(options, name, ask)
        return late.kind === 'token' ? late.token : undefined
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

/** The token that is held, where what was found is no reason to give it up. */
async function keptToken(
  { entries, clock }: StoredSourceOptions,
  name: EntryName,
  { found, held }: { readonly found: Finding; readonly held: HeldToken | undefined },
): Promise<AccessToken | undefined> {
  const now = clock.now()
  // A machine that slept meanwhile wakes up to a dead token.
  if (held === undefined || now >= held.token.expiresAt) return undefined
  if (found.kind === 'token') return isSameToken(found.token, held.token) ? held.token : undefined
  if (found.kind === 'unknown') return held.token
  // Whoever has not asked for longer than a mark lasts cannot tell a lost entry from a deleted one.
  if (found.kind === 'deleted' || now - held.checkedAt > MARK_MS) return undefined
  // What the store has lost, or has gone back to an older token of, is put there again.
  await entries.write(name, held)
  return held.token
}

/** What another process has put there, or this one before, as far as it counts for this ask. */
async function lookUp(options: StoredSourceOptions, name: EntryName, ask: FlightOptions): Promise<Finding> {
  const { entries, history = () => NO_HISTORY } = options
  if (ask.forceRenewal) return NOTHING
  for (let looks = 1; looks <= MAX_LOOKS; looks++) {
    const { changes } = history()
    const found = await entries.read(name, ask.signal)
    // What was read before may be what was deleted, or what took its place: another look tells.
    if (changes === history().changes) return judged(found, options, ask)
  }
  return NOTHING
}

function judged(found: Finding, options: StoredSourceOptions, ask: FlightOptions): Finding {
  const { history = () => NO_HISTORY, boundTo = () => ({}) } = options
  const { held, rejected, landing } = ask
  if (found.kind === 'deleted') {
    // A mark that is older than the token was left for another one.
    if (held !== undefined && held.obtainedAt > found.deletedAt + SKEW_MS) return NOTHING
    // What another process has deleted is not to be served here either, whatever comes of this.
    ask.onDeleted?.()
    return found
  }
  if (found.kind !== 'token') return found
  const { token, obtainedAt } = found
  const isSame = held !== undefined && isSameToken(token, held.token)
  const isOlder = obtainedAt <= history().deletedAt || (held !== undefined && obtainedAt < held.obtainedAt)
  if ((isOlder && !isSame) || !isBoundAlike(token, boundTo())) return NOTHING
  if (rejected !== undefined && isSameToken(token, rejected)) return NOTHING
  if (landing !== undefined) Object.assign(landing, { cache: 'l2', obtainedAt })
  return found
}

/** One turn at the lock, or none where there is no lock. */
interface OwnTurn {
  /** Whether others may have had a turn since. */
  isLost: boolean
}

async function obtain(
  inner: TokenSource,
  options: StoredSourceOptions,
  { ask, turn }: { readonly ask: FlightOptions; readonly turn: OwnTurn },
): Promise<AccessToken> {
  const { entries, clock, name, history = () => NO_HISTORY, boundTo = () => ({}), onReplaced } = options
  const { deletedAt } = history()
  const askedAt = clock.now()
  const token = await inner.getToken(ask)
  // Later than any deletion before it, were it in the same millisecond.
  const obtainedAt = Math.max(clock.now(), deletedAt + 1)
  if (ask.landing !== undefined) ask.landing.obtainedAt = obtainedAt
  const isKept = token.expiresAt > obtainedAt && deletedAt === history().deletedAt && isBoundAlike(token, boundTo())
  if (!isKept) return token
  // Named anew: the certificate that is part of the name may be another one by now.
  const entry = await name()
  // A late write must not take the place of a newer token.
  const newer = obtainedAt - askedAt > SLOW_MS ? await lookUp(options, entry, ask) : NOTHING
  if (newer.kind === 'token') return newer.token
  if (turn.isLost) return token
  await entries.write(entry, { token, obtainedAt })
  if (ask.isRefused?.()) onReplaced?.(entry.identity)
  return token
}

function isBoundAlike(a: TokenBinding, b: TokenBinding): boolean {
  return a.jkt === b.jkt && a.certificateThumbprint === b.certificateThumbprint
}
