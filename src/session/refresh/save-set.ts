import { errorName } from '../../telemetry/index.ts'
import { isEvertokenError } from '../../token/index.ts'
import { delay } from '../../util/index.ts'
import type { SessionEnvironment } from '../session-environment.ts'
import type { SessionTokens } from '../session-tokens.ts'
import { changedSet, type TokenSet } from '../token-set/token-set.ts'

/** So often a write is tried while callers wait, with pauses that double. */
const MAX_TRIES = 5
const FIRST_PAUSE_MS = 50

/** `passed_over`: something newer is there, or the session is over. `refused`: it would be again, such as one that has no room in cookies. */
export type Saved = 'kept' | 'passed_over' | 'failed' | 'refused'

/** A set as it was saved. */
export interface Fitting {
  readonly saved: Saved
  readonly set: TokenSet
}

/**
 * Saves a set, or what of it has room, and tries again what fails: an access token can be had again, a refresh token that has rotated cannot. The one for
 * `shape` is the last to give way.
 */
export async function saveFitting(
  env: SessionEnvironment,
  session: SessionTokens,
  { set, shape }: { readonly set: TokenSet; readonly shape: string },
): Promise<Fitting> {
  for (const fitting of fittingSets(set, shape)) {
    const saved = await repeated(env, () => saveOnce(env, session, fitting))
    if (saved !== 'refused') return { saved, set: fitting }
  }
  return { saved: 'refused', set }
}

/** The same for a set that others have kept: once, and with whatever access tokens there is room for. */
export async function saveCopy(env: SessionEnvironment, session: SessionTokens, set: TokenSet): Promise<void> {
  for (const fitting of fittingSets(set)) if ((await saveOnce(env, session, fitting)) !== 'refused') return
}

/** A set with all access tokens, with that for one shape only, and with none. */
function fittingSets(set: TokenSet, shape?: string): readonly TokenSet[] {
  const own = set.accessTokens.filter((each) => each.shape === shape)
  const fewer = [own, []].filter(({ length }, n, all) => length < (all[n - 1] ?? set.accessTokens).length)
  return [set, ...fewer.map((accessTokens) => changedSet(set, { accessTokens }))]
}

/** Notes the successor of a set for those who still have the set before; tells whether it is noted. */
export async function noteSuccessor(env: SessionEnvironment, before: TokenSet, next: TokenSet): Promise<boolean> {
  const noted = await repeated(env, async () => ((await env.memory.keepSuccessor(before, next)) ? 'kept' : 'failed'))
  return noted === 'kept'
}

/** Reads what is there instead of a set, tried like a write: what a refresh has brought would be lost without an answer. */
export async function loadInstead(env: SessionEnvironment, session: SessionTokens): Promise<TokenSet | undefined> {
  const loaded = await repeated(env, async () => {
    try {
      return { set: await session.load() }
    } catch {
      return 'failed'
    }
  })
  return loaded === 'failed' ? session.load() : loaded.set
}

async function repeated<T>({ oauth }: SessionEnvironment, work: () => Promise<T | 'failed'>): Promise<T | 'failed'> {
  for (let tries = 1; ; tries++) {
    const result = await work()
    if (result !== 'failed' || tries === MAX_TRIES) return result
    await delay(oauth.clock, FIRST_PAUSE_MS * 2 ** (tries - 1))
  }
}

/** One try, whose failure is an event. */
export async function saveOnce(
  { oauth, telemetry }: SessionEnvironment,
  session: SessionTokens,
  set: TokenSet,
): Promise<Saved> {
  try {
    return (await session.save(set)) ? 'kept' : 'passed_over'
  } catch (cause) {
    telemetry.note({ name: 'session_write_failed', client: oauth.clientName, error: errorName(cause) })
    return isEvertokenError(cause) && !cause.retryable ? 'refused' : 'failed'
  }
}
