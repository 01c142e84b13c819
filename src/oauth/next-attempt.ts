import type { TokenEndpointError } from '../token/index.ts'
import { type ClientAuthentication, isClientRefusal } from './client-authentication/index.ts'
import { isProofRefusal } from './proof-of-possession.ts'

/** How one attempt is made. */
export interface AttemptPlan {
  readonly authentication: ClientAuthentication
  /** How far the clock that dates it is ahead of this machine's, in milliseconds. */
  readonly datedWithMs: number
  /** Whether another clock has been a reason to try again already. */
  readonly hasRedated: boolean
  /** Whether a nonce has been one. */
  readonly hasAnsweredNonce: boolean
}

/** An attempt that was refused. */
export interface RefusedAttempt {
  readonly plan: AttemptPlan
  readonly error: TokenEndpointError
  /** By which offset another attempt is dated where that is worth it. */
  readonly redatedMs: number | undefined
  /** Whether another proof would carry another nonce. */
  readonly hasNewNonce: boolean
  /** Whether what proves the client was made here, and dated with the plan's offset. */
  readonly isOwn: boolean
  /** What the client authentication would try next. */
  readonly authentication: ClientAuthentication | undefined
}

/** The offset that the next attempt would be dated with; `undefined` when that is no reason for one. */
export function redatedWith({ plan, redatedMs }: Pick<RefusedAttempt, 'plan' | 'redatedMs'>): number | undefined {
  return plan.hasRedated ? undefined : redatedMs
}

/** Decides whether a refused request has another chance, and what is different then. Every reason counts once. */
export function nextPlan(refused: RefusedAttempt): AttemptPlan | undefined {
  const { plan, error, hasNewNonce, authentication } = refused
  const redatedMs = redatedWith(refused)
  const isProof = isProofRefusal(error.error)
  const answersNonce = isProof && hasNewNonce && !plan.hasAnsweredNonce
  if (authentication === undefined && !answersNonce && !(isProof && redatedMs !== undefined)) return ownTime(refused)
  return {
    authentication: authentication ?? plan.authentication,
    datedWithMs: redatedMs ?? plan.datedWithMs,
    hasRedated: plan.hasRedated || redatedMs !== undefined,
    hasAnsweredNonce: plan.hasAnsweredNonce || answersNonce,
  }
}

/** The last resort where the server's clock is followed and nothing else is left: it may have been followed astray. */
function ownTime({ plan, error, isOwn }: RefusedAttempt): AttemptPlan | undefined {
  const isDated = (isOwn && isClientRefusal(error.error)) || error.error === 'invalid_dpop_proof'
  return isDated && plan.datedWithMs !== 0 && !plan.hasRedated
    ? { ...plan, datedWithMs: 0, hasRedated: true }
    : undefined
}
