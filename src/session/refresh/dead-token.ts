import { type SessionEnd, sessionEnded } from '../session-end.ts'
import type { SessionEnvironment } from '../session-environment.ts'
import { endedSet, newest } from '../token-set/set-decisions.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import { noTurn } from './in-turn.ts'
import { followed, reread } from './latest-set.ts'
import type { Lineage } from './lineage.ts'
import { persist } from './persist.ts'
import type { RefreshAsk } from './refresh-ask.ts'

/** Somebody else has spent the token before, and this is what came of it. */
export interface Overtaken {
  readonly newer: TokenSet
  readonly cause: unknown
}

/** How a session ends by itself. */
interface Ending {
  readonly ask: RefreshAsk
  readonly set: TokenSet
  readonly reason: SessionEnd
  readonly cause?: unknown
}

/**
 * The refresh token is dead: access tokens that live are kept, and nothing is tried again. Unless somebody was quicker with it, without a lock or with one that was
 * lost: then the session goes on with what came of that.
 *
 * @throws SessionError with the reason.
 */
export async function end(
  env: SessionEnvironment,
  lineage: Lineage,
  { ask, set, reason, cause }: Ending,
): Promise<Overtaken> {
  const { clientName, clock } = env.oauth
  const found = await followed(env, await reread(env, lineage, ask))
  if (found.set.refreshToken !== set.refreshToken) return { newer: found.set, cause }
  if (!found.isLast && ask.session.kind === 'carried') throw noTurn(cause)
  const ended = endedSet(newest(set, found.set), reason, clock.now())
  // Written by comparison like every set: somebody may be quicker even now.
  const kept = await persist(env, lineage, { ask, before: set, next: ended })
  lineage.learned(kept)
  const isLive = kept.refreshToken !== undefined && kept.refreshToken !== set.refreshToken
  if (isLive) return { newer: kept, cause }
  env.telemetry.note({ name: 'session_ended', client: clientName, reason })
  throw sessionEnded(clientName, reason, cause)
}
