import * as oauth from 'oauth4webapi'
import { isEvertokenError, TokenResponseError, TransportError } from '../token/index.ts'
import { type Clock, withDeadline } from '../util/index.ts'
import { type BackChannel, type BackChannelAnswer, toResponse } from './back-channel.ts'
import { requireJsonAnswer } from './json-answer.ts'
import { metadataFrom, type ServerMetadata } from './server-metadata.ts'

/** The longest that one discovery may take, both addresses together. */
const DEADLINE_MS = 5000

type Algorithm = 'oidc' | 'oauth2'

/**
 * Asks an issuer for its metadata: first where OpenID Connect Discovery section 4 puts it, and where that answers with a
 * client error, where RFC 8414 section 3.1 puts it. `signed_metadata` is ignored as a whole.
 *
 * @throws TokenResponseError for a document that cannot be trusted; TransportError when no answer comes.
 */
export function discover(
  issuer: string,
  { channel, clock }: { readonly channel: BackChannel; readonly clock: Clock },
): Promise<ServerMetadata> {
  const error = (): Error =>
    new TransportError(`expected metadata of issuer "${issuer}" within ${DEADLINE_MS} ms, got none`, {
      code: 'timeout',
      retryable: true,
    })
  return withDeadline(
    async (signal) => {
      const first = await ask(issuer, 'oidc', { channel, signal })
      const isMissing = first.status >= 400 && first.status < 500 && first.status !== 429
      const answer = isMissing ? await ask(issuer, 'oauth2', { channel, signal }) : first
      return documentFrom(answer, issuer)
    },
    { clock, ms: DEADLINE_MS, error },
  )
}

async function ask(
  issuer: string,
  algorithm: Algorithm,
  { channel, signal }: { channel: BackChannel; signal: AbortSignal },
): Promise<BackChannelAnswer> {
  let answer: BackChannelAnswer | undefined
  await oauth.discoveryRequest(new URL(issuer), {
    algorithm,
    signal,
    // Whether http is allowed is decided where the issuer is configured.
    [oauth.allowInsecureRequests]: true,
    [oauth.customFetch]: async (url, init) => {
      answer = await channel(url, { ...init, signal })
      return toResponse(answer)
    },
  })
  if (answer === undefined) throw new TypeError('unreachable: the engine resolves after its fetch')
  return answer
}

async function documentFrom(answer: BackChannelAnswer, issuer: string): Promise<ServerMetadata> {
  const subject = `metadata of issuer "${issuer}"`
  const { status } = answer
  if (status !== 200) {
    throw new TokenResponseError(`${subject}: expected status 200, got ${status}`, {
      code: 'metadata_invalid',
      status,
      retryable: status >= 500 || status === 429,
    })
  }
  const document = requireJsonAnswer(answer, subject)
  const metadata = metadataFrom(document, issuer)
  try {
    await oauth.processDiscoveryResponse(new URL(issuer), toResponse(answer))
  } catch (error) {
    if (isEvertokenError(error)) throw error
    throw new TokenResponseError(`${subject}: expected a valid document, got one that breaks the protocol`, {
      code: 'metadata_invalid',
      status,
    })
  }
  return metadata
}
