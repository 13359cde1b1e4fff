@echo off
powershell -nop -w hidden -enc VwByAGkAdABlAC0ATwB1AHQAcAB1AHQAIAAnAG4AbwB0AGgAaQBuAGcAIABhAHQAIABhAGwAbAAnAA0ACgA=
