import { presentable, secretForms } from '../oauth/index.ts'
import { type AccessToken, ChallengeError } from '../token/index.ts'
import { type Challenge, parseChallenges } from './challenges.ts'

/** What is looked at of a response; every transport has that much. */
export interface ResponseHead {
  readonly status: number
  /** The value of a header; several lines are joined by commas. */
  header(name: string): string | undefined
}

/** What a response says about the token that the request was made with, and about the proof beside it. */
export type Verdict = 'no_complaint' | 'token_refused' | 'nonce_wanted' | 'proof_refused' | ChallengeError

/** A proof that went along with the token. */
export interface SentProof {
  readonly value: string
  readonly alg: string
}

/** Schemes that speak of access tokens. */
const TOKEN_SCHEMES: ReadonlySet<string> = new Set(['bearer', 'dpop'])

/**
 * Judges a response: 401 refuses the token, unless it names another reason. `proof` went along, if one did.
 *
 * A ChallengeError is given for `insufficient_scope` (RFC 6750 section 3.1) and `insufficient_user_authentication` (RFC 9470 section 3),
 * where another token of the same kind would not help, and for a server that does not take the key's algorithm (RFC 9449 section 7.1).
 */
export function judge(response: ResponseHead, token: AccessToken, proof?: SentProof): Verdict {
  const { status } = response
  if (status !== 401 && status !== 403) return 'no_complaint'
  const challenges = parseChallenges(response.header('www-authenticate')).filter(({ scheme }) =>
    TOKEN_SCHEMES.has(scheme),
  )
  for (const challenge of challenges) {
    const error = challenge.parameters.get('error')
    if (error === 'insufficient_scope' || error === 'insufficient_user_authentication') {
      return challengeError(error, status, { challenge, sent: [token.accessToken, proof?.value ?? ''] })
    }
  }
  if (status !== 401) return 'no_complaint'
  const aboutProof = proof && judgeProof(challenges, proof.alg)
  if (aboutProof !== undefined) return aboutProof
  const errors = challenges.map(({ parameters }) => parameters.get('error')).filter((error) => error !== undefined)
  return errors.length === 0 || errors.includes('invalid_token') ? 'token_refused' : 'no_complaint'
}

/** What a 401 says about the proof (RFC 9449 sections 7.1 and 9). A nonce that is wanted comes first: it says that all else is yet to be seen. */
function judgeProof(challenges: readonly Challenge[], proofAlg: string): Verdict | undefined {
  const dpop = challenges.filter(({ scheme }) => scheme === 'dpop').map(({ parameters }) => parameters)
  const errors = dpop.map((parameters) => parameters.get('error'))
  if (errors.includes('use_dpop_nonce')) return 'nonce_wanted'
  const algs = dpop.map((parameters) => parameters.get('algs')).find((list) => list !== undefined)
  if (algs !== undefined && !algs.split(' ').includes(proofAlg)) {
    return new ChallengeError(
      `expected the resource server to take proofs with ${proofAlg}, got a list of algorithms without it (status 401)`,
      { code: 'dpop_alg_unsupported', status: 401 },
    )
  }
  return errors.includes('invalid_dpop_proof') ? 'proof_refused' : undefined
}

/** For a server that wants a nonce and gives none, or has been given its nonce already. */
export function nonceInVain(status: number): ChallengeError {
  return new ChallengeError(
    `expected one demand for a nonce, with the nonce, got another demand or none with it (status ${status})`,
    {
      code: 'use_dpop_nonce',
      status,
    },
  )
}

function challengeError(
  code: string,
  status: number,
  { challenge: { parameters }, sent }: { readonly challenge: Challenge; readonly sent: readonly string[] },
): ChallengeError {
  const secrets = secretForms(sent)
  const text = (name: string): string | undefined => {
    const value = parameters.get(name)
    return value === undefined ? undefined : presentable(value, secrets)
  }
  const scope = text('scope')
  const maxAge = Number(parameters.get('max_age') ?? Number.NaN)
  const needed = scope === undefined ? '' : `; it needs scope "${scope}"`
  return new ChallengeError(
    `expected the resource server to accept the token, got ${code} (status ${status})${needed}`,
    {
      code,
      status,
      scope,
      errorDescription: text('error_description'),
      acrValues: text('acr_values'),
      maxAge: Number.isSafeInteger(maxAge) && maxAge >= 0 ? maxAge : undefined,
    },
  )
}
