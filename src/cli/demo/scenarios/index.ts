import type { WriteScenario } from '../scenario.ts'
import { cryptominer } from './cryptominer-zh.ts'
import { dnsTunnel } from './dns-tunnel.ts'
import { phishing } from './phishing.ts'
import { ransomware } from './ransomware.ts'
import { sshBruteForce } from './ssh-brute-force.ts'

/** Every incident that the team can be called to, in the order in which they follow each other. */
export const SCENARIOS: readonly WriteScenario[] = [sshBruteForce, phishing, cryptominer, ransomware, dnsTunnel]
