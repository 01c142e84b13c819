import { type ClientAssertion, ConfigurationError } from '../../token/index.ts'
import { describe, type Resolvable, resolve } from '../../util/index.ts'
import type { ClientAuthentication, TokenEndpointDraft } from './client-authentication.ts'

/** `client_assertion_type` of a JWT (RFC 7523 section 2.2). */
export const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/**
 * Authenticates with an assertion that was made elsewhere (RFC 7521 section 4.2). A function is asked for every attempt.
 *
 * @throws ConfigurationError with code `client_assertion_invalid` when it is not a type and a value.
 */
export function clientAssertion(assertion: Resolvable<ClientAssertion>): ClientAuthentication {
  if (typeof assertion !== 'function') assertClientAssertion(assertion)
  return {
    method: 'client_assertion',
    async apply({ body }, { clientId }) {
      addAssertion(body, clientId, await resolve(assertion))
    },
  }
}

/** Puts an assertion into a request (RFC 7521 section 4.2). */
export function addAssertion(body: TokenEndpointDraft['body'], clientId: string, assertion: ClientAssertion): void {
  assertClientAssertion(assertion)
  body.set('client_id', clientId)
  body.set('client_assertion_type', assertion.type)
  body.set('client_assertion', assertion.value)
}

/** Refuses what is not a client assertion, without repeating it. */
export function assertClientAssertion(assertion: unknown): asserts assertion is ClientAssertion {
  const { type, value } = Object(assertion) as Record<string, unknown>
  const problem =
    typeof type !== 'string' || type === ''
      ? `type to be a non-empty string, got ${describe(type)}`
      : typeof value !== 'string' || value === ''
        ? `value to be a non-empty string, got ${describe(value)}`
        : undefined
  if (problem === undefined) return
  throw new ConfigurationError(`client assertion: expected ${problem}`, { code: 'client_assertion_invalid' })
}
