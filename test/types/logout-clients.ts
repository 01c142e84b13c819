/** A logout is for a client that there is (N19.05). Nothing here runs: the compiler is the test. */
import { memoryRecords, none } from 'evertoken'
import { backChannelLogout, createUserTokenManager, storedSessions } from 'evertoken/session'

const sessions = storedSessions(memoryRecords())
const web = { issuer: 'https://op.example', clientId: 'web', authentication: none() }

export function names(): void {
  const tokens = createUserTokenManager({ clients: { web, admin: web } })
  backChannelLogout(tokens, { client: 'web', sessions })
  // @ts-expect-error misspelled
  backChannelLogout(tokens, { client: 'wbe', sessions })
  // @ts-expect-error sessions of nobody
  backChannelLogout(tokens, { client: 'web' })
  // @ts-expect-error an option that there is not
  backChannelLogout(tokens, { client: 'web', sessions, algorithms: ['RS256'] })
}
