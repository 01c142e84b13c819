import { errorName } from '../telemetry/index.ts'
import { StoreError } from '../token/index.ts'
import { delay, withDeadline } from '../util/index.ts'
import type { Lineage, RefreshAsk } from './lineage.ts'
import { revokeSet } from './revocation.ts'
import { sessionEnded } from './session-end.ts'
import type { SessionEnvironment } from './session-environment.ts'
import type { SessionTokens } from './session-tokens.ts'
import type { TokenSet } from './token-set.ts'

/** What is to be kept. */
export interface Keeping {
  readonly ask: RefreshAsk
  readonly before: TokenSet
  readonly next: TokenSet
}

/** So often a write is tried while callers wait, with pauses that double. */
const MAX_TRIES = 5
const FIRST_PAUSE_MS = 50
const WRITE_MS = 2000
/** After that it is tried so often behind the callers. */
const LATER_TRIES = 20
const LATER_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 30_000

/**
 * Keeps a set before anybody gets a token of it. What was written meanwhile with a higher generation stays, and is the answer; of a session that was
 * signed out nothing is kept, and what came for it is revoked.
 *
 * @throws SessionError with reason `signed_out`.
 */
export async function persist(
  env: SessionEnvironment,
  lineage: Lineage,
  { ask, before, next }: Keeping,
): Promise<TokenSet> {
  const { memory, telemetry, oauth } = env
  const { session } = ask
  const isOver = lineage.end !== undefined || (await memory.isEnded(lineage.id, next.generation))
  // The user's other requests bring the cookie of before: for them the successor is what is durable.
  if (!isOver && session.kind === 'carried') await keepSuccessor(env, before, next)
  const saved = isOver ? 'passed_over' : await save(env, session, next)
  if (session.kind !== 'carried' && saved !== 'passed_over') await keepSuccessor(env, before, next)
  if (saved === 'failed') {
    telemetry.note({ name: 'session_persist_failed', client: oauth.clientName })
    void keepTrying(env, lineage, { ask, before, next })
    return next
  }
  if (saved === 'kept') {
    if (next.endedBecause === undefined) telemetry.note({ name: 'session_updated', client: oauth.clientName })
    return next
  }
  const stored = isOver ? undefined : await session.load()
  if (stored !== undefined) return stored
  lineage.endWith('signed_out')
  await revokeSet(env, next)
  throw sessionEnded(oauth.clientName, 'signed_out')
}

/** `passed_over`: something newer is there, or the session is over. */
type Saved = 'kept' | 'passed_over' | 'failed'

async function keepSuccessor({ memory }: SessionEnvironment, before: TokenSet, next: TokenSet): Promise<void> {
  if (before.refreshToken !== undefined) await memory.keepSuccessor(before.refreshToken, next)
}

async function save(env: SessionEnvironment, session: SessionTokens, next: TokenSet): Promise<Saved> {
  const { clock } = env.oauth
  for (let tries = 1; ; tries++) {
    const result = await attempt(env, session, next)
    if (result !== 'failed' || tries === MAX_TRIES) return result
    await delay(clock, FIRST_PAUSE_MS * 2 ** (tries - 1))
  }
}

async function attempt(
  { oauth, telemetry }: SessionEnvironment,
  session: SessionTokens,
  next: TokenSet,
): Promise<Saved> {
  const error = (): Error =>
    new StoreError(`expected the session to be saved within ${WRITE_MS} ms, got no answer`, { code: 'store_timeout' })
  try {
    const kept = await withDeadline(async () => session.save(next), { clock: oauth.clock, ms: WRITE_MS, error })
    return kept ? 'kept' : 'passed_over'
  } catch (cause) {
    telemetry.note({ name: 'session_write_failed', client: oauth.clientName, error: errorName(cause) })
    return 'failed'
  }
}

/** The set is nowhere but here: it is offered again until it is kept, or until something newer is there. */
async function keepTrying(env: SessionEnvironment, lineage: Lineage, { ask, before, next }: Keeping): Promise<void> {
  for (let tries = 0; tries < LATER_TRIES; tries++) {
    await delay(env.oauth.clock, Math.min(LATER_PAUSE_MS * 2 ** tries, LONGEST_PAUSE_MS))
    if (lineage.end !== undefined || lineage.newest(next) !== next) return
    if ((await attempt(env, ask.session, next)) !== 'failed') return
    // Until it is kept, the others find it there and nowhere else.
    await keepSuccessor(env, before, next)
  }
}
