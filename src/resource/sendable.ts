import type { Prover } from '../dpop/index.ts'
import { type AccessToken, ConfigurationError, isHeaderReady } from '../token/index.ts'

/** What is seen of a client certificate. */
export interface PresentedCertificate {
  /** `x5t#S256` (RFC 8705 section 3.1). Changes when the certificate is replaced. */
  readonly thumbprint: string
}

/** What a request can show beside a token. */
export interface Possessions {
  readonly certificate: PresentedCertificate | undefined
  readonly prover: Prover | undefined
}

/** Whether a token is bound to something that the request does not show: another token may be bound to what it does. */
export function isBoundElsewhere(
  { certificateThumbprint, tokenType, jkt }: AccessToken,
  { certificate, prover }: Possessions,
): boolean {
  const isOfAnotherCertificate =
    certificateThumbprint !== undefined && certificateThumbprint !== certificate?.thumbprint
  const isOfAnotherKey = prover !== undefined && (tokenType !== 'DPoP' || jkt === undefined || !prover.holds(jkt))
  return isOfAnotherCertificate || isOfAnotherKey
}

/**
 * Refuses a token that would be worth nothing here, or worth too much: one that is bound to a key must not go out as if it were not
 * (RFC 9449 section 7.2).
 *
 * @throws ConfigurationError with code `token_invalid`, `certificate_missing`, `proof_missing` or `token_unbound`.
 */
export function assertSendable(token: AccessToken, { certificate, prover }: Possessions): void {
  const { tokenType, jkt, certificateThumbprint } = token
  // What the platform says about a header that cannot be sent quotes the header.
  if (!isHeaderReady(token)) {
    throw new ConfigurationError('expected a token of printable characters, got one that no header can carry', {
      code: 'token_invalid',
    })
  }
  if (certificateThumbprint !== undefined && certificateThumbprint !== certificate?.thumbprint) {
    throw new ConfigurationError('expected a connection with the certificate that the token is bound to, got another', {
      code: 'certificate_missing',
    })
  }
  const isUnbound = tokenType === 'Bearer' && jkt === undefined
  if (isUnbound && prover !== undefined) {
    throw new ConfigurationError('expected a token that is bound to a key, got one that is not', {
      code: 'token_unbound',
    })
  }
  if (isUnbound || (tokenType === 'DPoP' && jkt !== undefined && prover?.holds(jkt))) return
  throw new ConfigurationError(`expected a Bearer token, got a ${tokenType} token without a key to prove it with`, {
    code: 'proof_missing',
  })
}
