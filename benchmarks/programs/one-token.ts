import { clientSecretBasic, createTokenManager } from 'evertoken'

const [tokenEndpoint = ''] = process.argv.slice(2)
const client = { tokenEndpoint, clientId: 'bench', authentication: clientSecretBasic('not-a-secret') }
// Not closed, on purpose.
const manager = createTokenManager({ clients: { main: client } })
await manager.getToken('main')
process.stdout.write(String(performance.timeOrigin + performance.now()))
