import type { Answer, Handler } from './hostile-server.ts'

/** One handler after the other; the last one stays. */
export function script(...steps: readonly [Handler, ...Handler[]]): Handler {
  const rest = [...steps]
  return (request) => {
    const [step = steps[0]] = rest
    if (rest.length > 1) rest.shift()
    return step(request)
  }
}

const WELL_KNOWN = /^(.*)\/\.well-known\/(?:openid-configuration|oauth-authorization-server)(\/.*)?$/

/**
 * Answers the well-known paths of RFC 8414 and OpenID Connect Discovery, for an issuer with a path too, and leaves the
 * rest to `handler`. `members` replace those of the document; `undefined` takes one out.
 */
export function withMetadata(handler: Handler, members: Readonly<Record<string, unknown>> = {}): Handler {
  return (request) => {
    const found = WELL_KNOWN.exec(request.url)
    if (found === null) return handler(request)
    const origin = `http://${request.headers.host}`
    const document = {
      issuer: `${origin}${found[1] || (found[2] ?? '')}`,
      token_endpoint: `${origin}/token`,
      revocation_endpoint: `${origin}/revoke`,
      jwks_uri: `${origin}/jwks`,
      ...members,
    }
    return { body: JSON.stringify(document) }
  }
}

/** A refusal of a resource server, with its challenge (RFC 6750 section 3). */
export function unauthorized(
  challenge: string | readonly string[] = 'Bearer error="invalid_token"',
  { status = 401, body = '{"error":"invalid_token"}' }: { readonly status?: number; readonly body?: string } = {},
): Handler {
  return () => ({ status, headers: { 'www-authenticate': challenge }, body })
}

/** Refuses some tokens, whatever the scheme, and leaves the rest to `handler`. */
export function rejecting(tokens: ReadonlySet<string>, handler: Handler): Handler {
  const refuse = unauthorized()
  return (request) => {
    const token = request.headers.authorization?.split(' ')[1]
    return token !== undefined && tokens.has(token) ? refuse(request) : handler(request)
  }
}

/** Tells the caller what came in. */
export const echo: Handler = ({ method, url, headers, body }) => ({
  body: JSON.stringify({ method, url, headers, body }),
})

/** A plain answer with a `Date` of its own, or with none. */
export function dated(answer: Answer, at: number | undefined): Answer {
  const { status = 200, headers = {}, body } = answer as Exclude<Answer, (...parameters: never) => unknown>
  if (at !== undefined)
    return { status, headers: { ...headers, date: new Date(at).toUTCString() }, ...(body && { body }) }
  return (response) => {
    response.sendDate = false
    response.setHeader('content-type', 'application/json')
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value as string)
    response.writeHead(status).end(body)
  }
}
