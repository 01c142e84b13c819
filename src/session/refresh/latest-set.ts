import { sessionEnded } from '../session-end.ts'
import type { SessionEnvironment } from '../session-environment.ts'
import { isSameSignIn, newest } from '../token-set/set-decisions.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import { noTurn } from './in-turn.ts'
import type { Lineage } from './lineage.ts'
import type { RefreshAsk } from './refresh-ask.ts'

/** A set and its successors. */
export interface Followed {
  /** In the order in which they came. */
  readonly sets: readonly TokenSet[]
  /** The last one that is known. */
  readonly set: TokenSet
  /** Whether there can be none after it. */
  readonly isLast: boolean
}

/** Follows the successors of a set. */
export async function followed({ memory }: SessionEnvironment, from: TokenSet): Promise<Followed> {
  const sets = [from]
  let set = from
  for (;;) {
    const next = await memory.successorOf(set)
    if (next === 'unknown') return { sets, set, isLast: false }
    // A server may give one refresh token to several sign-ins of a user.
    if (next === undefined || next.generation <= set.generation || !isSameSignIn(next, set)) break
    set = next
    sets.push(set)
  }
  return { sets, set, isLast: true }
}

/** The same for whoever wants to use what is there; `over` where the session was signed out. */
export async function usable(env: SessionEnvironment, lineage: Lineage, from: TokenSet): Promise<Followed | 'over'> {
  const found = await followed(env, from)
  if (found.set.endedBecause === 'signed_out') return 'over'
  if (found.set === from) return found
  // Whoever wrote a successor may not have heard of the end yet.
  const isEnded = await env.memory.isEnded(lineage.id, found.set.generation)
  if (isEnded === 'unknown') return { sets: [from], set: from, isLast: false }
  return isEnded ? 'over' : found
}

/** What is in the store now, which may be newer than what the caller has loaded. */
export async function reread(
  { oauth, memory }: SessionEnvironment,
  lineage: Lineage,
  ask: RefreshAsk,
): Promise<TokenSet> {
  const { session, known } = ask
  const ownNewest = lineage.newest(known)
  if (session.kind === 'carried') return ownNewest
  const stored = await session.load()
  if (stored === undefined) {
    const wasSignedOut = lineage.end !== undefined || (await memory.isEnded(lineage.id, known.generation)) === true
    throw sessionEnded(oauth.clientName, wasSignedOut ? 'signed_out' : 'no_session')
  }
  // Of two sets that came of one refresh token the one that was kept counts.
  return newest(stored, ownNewest)
}

/**
 * Makes sure that a session may be refreshed.
 *
 * @throws SessionError with reason `signed_out`; StoreError with code `coordination_unavailable` where nobody can be asked, and a session is carried.
 */
export async function assertNotEnded(
  { memory, oauth }: SessionEnvironment,
  lineage: Lineage,
  { session, set }: { readonly session: RefreshAsk['session']; readonly set: TokenSet },
): Promise<void> {
  const isEnded = lineage.end !== undefined || (await memory.isEnded(lineage.id, set.generation))
  if (isEnded === true) throw sessionEnded(oauth.clientName, 'signed_out')
  // One that is in one place is gone from there.
  if (isEnded === 'unknown' && session.kind === 'carried') throw noTurn()
}
