import { presentable, secretForms } from '../oauth/index.ts'
import { type AccessToken, ChallengeError } from '../token/index.ts'
import { type Challenge, parseChallenges } from './challenges.ts'

/** What is looked at of a response; every transport has that much. */
export interface ResponseHead {
  readonly status: number
  /** The value of a header; several lines are joined by commas. */
  header(name: string): string | undefined
}

/** What a response says about the token that the request was made with. */
export type Verdict = 'no_complaint' | 'token_refused'

/** Schemes that speak of access tokens. */
const TOKEN_SCHEMES: ReadonlySet<string> = new Set(['bearer', 'dpop'])

/**
 * Judges a response: 401 refuses the token, unless it names another reason.
 *
 * @throws ChallengeError for `insufficient_scope` (RFC 6750 section 3.1) and `insufficient_user_authentication`
 * (RFC 9470 section 3): another token of the same kind would not help.
 */
export function judge(response: ResponseHead, token: AccessToken): Verdict {
  const { status } = response
  if (status !== 401 && status !== 403) return 'no_complaint'
  const challenges = parseChallenges(response.header('www-authenticate')).filter(({ scheme }) =>
    TOKEN_SCHEMES.has(scheme),
  )
  for (const challenge of challenges) {
    const error = challenge.parameters.get('error')
    if (error === 'insufficient_scope' || error === 'insufficient_user_authentication') {
      throw challengeError(error, status, { challenge, token })
    }
  }
  if (status !== 401) return 'no_complaint'
  const errors = challenges.map(({ parameters }) => parameters.get('error')).filter((error) => error !== undefined)
  return errors.length === 0 || errors.includes('invalid_token') ? 'token_refused' : 'no_complaint'
}

function challengeError(
  code: string,
  status: number,
  { challenge: { parameters }, token }: { readonly challenge: Challenge; readonly token: AccessToken },
): ChallengeError {
  const secrets = secretForms([token.accessToken])
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
