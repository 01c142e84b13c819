import type { Lineage } from './lineage.ts'
import type { RefreshAsk } from './refresh-ask.ts'
import { sessionEnded } from './session-end.ts'
import type { SessionEnvironment } from './session-environment.ts'
import { isSameSignIn, newest } from './set-decisions.ts'
import type { TokenSet } from './token-set.ts'

/** The last successor of a set that is known, and whether there can be none after it. */
export interface Followed {
  readonly set: TokenSet
  readonly isLast: boolean
}

/** Follows the successors of a set. */
export async function followed({ memory }: SessionEnvironment, from: TokenSet): Promise<Followed> {
  let set = from
  for (;;) {
    const next = await memory.successorOf(set)
    if (next === 'unknown') return { set, isLast: false }
    // A server may give one refresh token to several sign-ins of a user.
    if (next === undefined || next.generation <= set.generation || !isSameSignIn(next, set)) break
    set = next
  }
  return { set, isLast: true }
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
    const wasSignedOut = lineage.end !== undefined || (await memory.isEnded(lineage.id, known.generation))
    throw sessionEnded(oauth.clientName, wasSignedOut ? 'signed_out' : 'no_session')
  }
  // Of two sets that came of one refresh token the one that was kept counts.
  return newest(stored, ownNewest)
}
