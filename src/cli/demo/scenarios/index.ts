import type { WriteScenario } from '../scenario.ts'
import { cryptominer } from './cryptominer-zh.ts'
import { dnsTunnel } from './dns-tunnel.ts'
import { phishing } from './phishing.ts'
import { ransomware } from './ransomware.ts'
import { sshBruteForce } from './ssh-brute-force.ts'

/** All scenarios, in the order in which they are used. */
export const SCENARIOS: readonly WriteScenario[] = [sshBruteForce, phishing, cryptominer, ransomware, dnsTunnel]
