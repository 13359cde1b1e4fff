<%@ LANGUAGE = "VBScript.Encode" %>
<%#@~^LQAAAA==]/2Kxk+RqDbO+,JUWDtrUTPlD~l^VP請求書r@#@&aAsAAA==^#~@%>
