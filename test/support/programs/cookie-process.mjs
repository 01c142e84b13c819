// A process of a web application whose sessions are in cookies: `node cookie-process.mjs <token endpoint> <redis port> <encryption key>`. Says where it is, in one
// line. `/login?login={…}` takes what somebody's sign-in has brought, as JSON, and `/call` answers with the access token that it would call an API with. Store and
// lock are on the Redis, for all processes.
import { createServer } from 'node:http'
import { clientSecretBasic } from 'evertoken'
import { cookieSessions, createUserTokenManager } from 'evertoken/session'
import { redisLock, redisStore } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'

const [tokenEndpoint, port, key] = process.argv.slice(2)
const redis = new Redis({ port: Number(port), host: '127.0.0.1', maxRetriesPerRequest: 1 })
redis.on('error', () => {})
await new Promise((resolve) => redis.once('ready', resolve))

const sessions = cookieSessions({ keys: [{ id: 'a', key }] })
const authentication = clientSecretBasic('a-long-enough-secret')
const tokens = createUserTokenManager({
  clients: { web: { tokenEndpoint, clientId: 'machine', authentication } },
  store: redisStore(redis, { encryption: { keys: [{ id: 'a', key }] } }),
  lock: redisLock(redis, { leaseMs: 10_000, deadlineMs: 1000 }),
  // However long the machine takes for all requests.
  graceMs: 10 * 60_000,
})

async function answer(session, { pathname, searchParams }) {
  const user = tokens.forSession('web', session)
  if (pathname === '/call') return (await user.source().getToken()).accessToken
  await user.adopt(JSON.parse(searchParams.get('login')))
  return 'done'
}

const server = createServer(async (request, response) => {
  const session = await sessions.fromRequest(request.headers.cookie)
  let body
  try {
    body = await answer(session, new URL(request.url, 'http://app.example'))
  } catch (error) {
    response.statusCode = error.name === 'SessionError' ? 401 : 500
    body = `${error.code ?? error}: ${error.cause?.message ?? error.message}`
  }
  for (const [name, value] of session.responseHeaders) response.appendHeader(name, value)
  response.end(body)
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`http://127.0.0.1:${server.address().port}\n`))
