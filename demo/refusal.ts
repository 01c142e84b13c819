/** The errors of RFC 6750 section 3.1 and RFC 9449 section 12.2; `none` for a request without any token. */
export type RefusalError = 'none' | 'invalid_token' | 'insufficient_scope' | 'invalid_dpop_proof' | 'use_dpop_nonce'

/** A request that is refused, and by which rule. */
export class Refusal extends Error {
  readonly error: RefusalError
  readonly scope: string | undefined

  constructor(error: RefusalError, reason = '', scope?: string) {
    super(reason)
    this.name = 'Refusal'
    this.error = error
    this.scope = scope
  }

  get status(): 401 | 403 {
    return this.error === 'insufficient_scope' ? 403 : 401
  }
}

/** The value of `WWW-Authenticate` (RFC 6750 section 3, RFC 9449 section 7.1). */
export function challengeOf(scheme: 'Bearer' | 'DPoP', { error, message, scope }: Refusal, algs?: string): string {
  const parameters = {
    error: error === 'none' ? undefined : error,
    error_description: error === 'none' || message === '' ? undefined : message,
    scope,
    algs,
  }
  const written = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}="${value}"`],
  )
  return [scheme, written.join(', ')].join(' ').trim()
}
